import { HubError } from "../../errors.ts";
import type { Hub } from "./request.ts";
import { TransientError } from "./retry.ts";

/**
 * What a status other than success means, and what to do about it. The hub says which case it is in `X-Error-Code`
 * (`hf_raise_for_status` of `huggingface_hub`); a mirror may not, and then the status decides.
 */
export function refusal(hub: Hub, status: number, headers: Headers, file?: string): HubError {
  const details = { status, ...(file === undefined ? {} : { file }) };
  const code = headers.get("x-error-code");
  const page = `${hub.endpoint}/${hub.repository}`;
  const remedy =
    hub.token === undefined
      ? "set HF_TOKEN to a token that may read it"
      : "the token in use may not read it: set HF_TOKEN to one that may";
  if (code === "GatedRepo" || (status === 403 && code === null && file === undefined)) {
    const ask = `access is granted one by one: ask for it at ${page}, then ${remedy}`;
    return new HubError(hub.repository, ask, details);
  }
  if (code === "RevisionNotFound") {
    return new HubError(
      hub.repository,
      `has no revision ${hub.revision}; its branches and tags are at ${page}/tree/main`,
      details,
    );
  }
  if (code === "EntryNotFound" || (status === 404 && file !== undefined && code === null)) {
    return new HubError(
      hub.repository,
      `is listed, but the server does not have it at revision ${hub.revision}`,
      details,
    );
  }
  if (status === 401 || code === "RepoNotFound") {
    return new HubError(
      hub.repository,
      `there is no such repository at ${hub.endpoint}, or it is private or gated; if so, ${remedy}`,
      details,
    );
  }
  if (status === 404) {
    const where = `no such repository at ${hub.endpoint}, or it has no revision ${hub.revision}`;
    return new HubError(hub.repository, `there is ${where}; if it is private, ${remedy}`, details);
  }
  return new HubError(hub.repository, `the server at ${hub.endpoint} answered ${status}`, details);
}

/** What is left to say when the retries are used up. */
export function unreachable(hub: Hub, error: TransientError, file?: string): HubError {
  return new HubError(
    hub.repository,
    `${error.message}; tried ${hub.patience.attempts} times. Run it again to continue where it stopped; ` +
      `a mirror can be named with HF_ENDPOINT (now ${hub.endpoint})`,
    {
      cause: error,
      ...(file === undefined ? {} : { file }),
      ...(error.status === undefined ? {} : { status: error.status }),
    },
  );
}

/** Runs `work`, and gives a TransientError that survived its retries the form that a caller sees. */
export async function orUnreachable<T>(hub: Hub, file: string | undefined, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof TransientError ? unreachable(hub, error, file) : error;
  }
}
