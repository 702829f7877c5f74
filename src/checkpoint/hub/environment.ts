import { OptionError } from "../../errors.ts";

/** What the environment says about the hub and its cache. */
export interface HubEnvironment {
  /** Where the `models--Org--Name` folders are. */
  cacheFolder: string;
  endpoint: string;
  /** `HF_TOKEN`; undefined where there is none. */
  token: string | undefined;
  /** The file that holds a token where `token` is undefined; undefined where implicit tokens are turned off. */
  tokenPath: string | undefined;
  /** No network at all. */
  offline: boolean;
  /** Whether snapshots may be links to blobs; without, the file itself lies in the snapshot. */
  symlinks: boolean;
  /** How long a silent connection is waited for. */
  stallMilliseconds: number;
}

/**
 * Reads the variables that Python's `huggingface_hub` reads (`constants.py`, `utils/_auth.py`), in its order of precedence:
 * - cache: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `$HF_HOME/hub`, `$XDG_CACHE_HOME/huggingface/hub`, `~/.cache/huggingface/hub`
 * - token: `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, then the file `HF_TOKEN_PATH` or `$HF_HOME/token`
 * - `HF_ENDPOINT`; `HF_HUB_OFFLINE`, then `TRANSFORMERS_OFFLINE`; `HF_HUB_DISABLE_SYMLINKS`;
 *   `HF_HUB_DISABLE_IMPLICIT_TOKEN`; `HF_HUB_DOWNLOAD_TIMEOUT` (whole seconds)
 *
 * A switch is on for `1`, `on`, `yes` and `true` in any case, and off for everything else. `~` and `$NAME` in paths are
 * replaced. One difference: an empty variable counts as not set, where Python would take the working folder as its cache.
 * @throws OptionError when `HF_HUB_DOWNLOAD_TIMEOUT` is not a whole number, or `HF_ENDPOINT` is not an http address
 */
export function readHubEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  homeFolder: string,
): HubEnvironment {
  const read = (name: string): string | undefined => variables[name] || undefined;
  const expand = (path: string): string => expandVariables(expandHome(path, homeFolder), variables);

  const home = expand(
    read("HF_HOME") ?? join(read("XDG_CACHE_HOME") ?? join(homeFolder, ".cache"), "huggingface"),
  );
  const implicitToken = !isOn(read("HF_HUB_DISABLE_IMPLICIT_TOKEN"));
  const token = read("HF_TOKEN") ?? read("HUGGING_FACE_HUB_TOKEN");
  return {
    cacheFolder: expand(read("HF_HUB_CACHE") ?? read("HUGGINGFACE_HUB_CACHE") ?? join(home, "hub")),
    endpoint: checkEndpoint("HF_ENDPOINT", read("HF_ENDPOINT") ?? "https://huggingface.co"),
    token: implicitToken ? cleanToken(token) : undefined,
    tokenPath: implicitToken ? expand(read("HF_TOKEN_PATH") ?? join(home, "token")) : undefined,
    offline: isOn(read("HF_HUB_OFFLINE") ?? read("TRANSFORMERS_OFFLINE")),
    symlinks: !isOn(read("HF_HUB_DISABLE_SYMLINKS")),
    stallMilliseconds: readSeconds("HF_HUB_DOWNLOAD_TIMEOUT", read("HF_HUB_DOWNLOAD_TIMEOUT"), 10) * 1000,
  };
}

/** A token without the line end that editors and `echo` leave; undefined when nothing is left. */
export function cleanToken(token: string | undefined): string | undefined {
  return token?.trim() || undefined;
}

/** The address without its last slash. `option` names where it came from. */
export function checkEndpoint(option: string, endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url?.protocol !== "https:" && url?.protocol !== "http:") {
    throw new OptionError(
      option,
      endpoint,
      "must be the address of a hub that begins with https:// or http://",
    );
  }
  return endpoint.replace(/\/+$/, "");
}

function isOn(value: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes(value?.toUpperCase() ?? "");
}

function readSeconds(name: string, value: string | undefined, standard: number): number {
  if (value === undefined) return standard;
  if (!/^\s*\+?\d+\s*$/.test(value)) throw new OptionError(name, value, "must be a whole number of seconds");
  return Number(value) || standard;
}

function join(folder: string, name: string): string {
  return `${folder.replace(/[\\/]+$/, "")}/${name}`;
}

function expandHome(path: string, homeFolder: string): string {
  return /^~(?=$|[\\/])/.test(path) ? homeFolder + path.slice(1) : path;
}

/** `$NAME` and `${NAME}`; a name that is not set stays as it is written, as in Python's `os.path.expandvars`. */
function expandVariables(path: string, variables: Readonly<Record<string, string | undefined>>): string {
  return path.replace(/\$(?:(\w+)|\{([^}]*)\})/g, (written, bare, braced) => {
    return variables[(bare ?? braced) as string] ?? written;
  });
}
