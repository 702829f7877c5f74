import { readFile } from "node:fs/promises";
import { FileError } from "../../errors.ts";
import type { HubEnvironment } from "./environment.ts";
import { cleanToken } from "./environment.ts";

/** The token to send: of the environment, or of the token file that `hf auth login` writes; undefined where neither is. */
export async function readToken(environment: HubEnvironment): Promise<string | undefined> {
  if (environment.token !== undefined || environment.tokenPath === undefined) return environment.token;
  try {
    return cleanToken(await readFile(environment.tokenPath, "utf8"));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new FileError(
      environment.tokenPath,
      "the hub's token cannot be read from it; mend it, or set HF_TOKEN",
      {
        cause,
      },
    );
  }
}
