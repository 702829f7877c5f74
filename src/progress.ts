/** What is happening, and how far it has come. Sent on long work: downloads, loading, encoding pictures, prefill. */
export interface Progress {
  phase: "download" | "verify" | "load" | "compile" | "encode" | "prefill";
  /** The file or part at hand, when there is one. */
  file?: string;
  /** Bytes for files; kernels that were chosen for `compile`; tiles for `encode`; tokens for `prefill`. */
  loaded: number;
  total: number;
}

export type OnProgress = (progress: Progress) => void;
