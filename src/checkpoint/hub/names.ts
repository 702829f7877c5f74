import { OptionError } from "../../errors.ts";

/** A full commit hash. */
const commitForm = /^[0-9a-f]{40}$/;

export function isCommit(revision: string): boolean {
  return commitForm.test(revision);
}

/**
 * Whether `text` is a hub id `Org/Name`, by the hub's rule (`validate_repo_id` of `huggingface_hub`): letters, digits,
 * `-`, `_` and `.`; no `--` or `..`; neither part begins or ends with `-` or `.`; at most 96 characters; no `.git` at the end.
 */
export function isRepository(text: string): boolean {
  const parts = text.split("/");
  return (
    parts.length === 2 &&
    text.length <= 96 &&
    !text.endsWith(".git") &&
    parts.every((part) => /^\w([\w.-]*\w)?$/.test(part) && !/--|\.\./.test(part))
  );
}

/** @throws OptionError when `repository` is not of the form `Org/Name` */
export function checkRepository(repository: string): string {
  if (isRepository(repository)) return repository;
  throw new OptionError("repository", repository, "must be a hub id of the form Org/Name");
}

/** A branch, a tag, `refs/pr/1`, or a commit. It becomes a path below `refs/`, and so may not climb out of there. */
export function checkRevision(revision: string): string {
  if (isSafePath(revision)) return revision;
  throw new OptionError("revision", revision, "must be a branch, a tag or a commit hash");
}

/** Whether a name that came from outside stays below the folder that it is joined to, on every system. */
export function isSafePath(path: string): boolean {
  const parts = path.split("/");
  return parts.every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:\0-\x1f]/.test(part));
}
