/** Memory-mapped files: `mmap` of the C library, called through koffi. */

/** A file seen as memory. */
export interface Mapping {
  /** A view of bytes `start` to `end`, at most 4 GiB. Writing to it crashes the process. */
  view(start: number, end: number): Uint8Array;
  /**
   * Gives the memory back once no view is left. Not before: touching memory that is gone would crash the process,
   * and koffi's views cannot be emptied.
   */
  release(): void;
}

/** Maps an open file; undefined where the file system does not map. */
export type MapFile = (descriptor: number, size: number) => Mapping | undefined;

const PROT_READ = 1;
const MAP_SHARED = 1;
const FAILED = 2n ** 64n - 1n;
const MADV_DONTNEED = 4;

/**
 * After so many bytes were looked at, the process lets go of the file's pages, which otherwise count as its memory. They
 * stay in the page cache, and come back when they are touched.
 */
const HELD = 2 ** 29;

/** One view costs about 0.1 ms, so they are shared: each starts at a multiple of `STEP` and may be `SPAN` long. */
const STEP = 2 ** 31;
const SPAN = 2 ** 32;

/** Kept here, for a registry that is collected calls nobody. */
const lostViews = new FinalizationRegistry<() => void>((viewLost) => viewLost());

/** @returns undefined where files cannot be mapped: without koffi, on Windows, on 32-bit machines. */
export async function loadMapper(): Promise<MapFile | undefined> {
  if (process.platform === "win32" || ["arm", "ia32", "mips", "mipsel"].includes(process.arch))
    return undefined;
  const library = await loadLibrary();
  if (!library) return undefined;
  const { koffi, mmap, munmap, madvise } = library;

  return (descriptor, size) => {
    const address: bigint = mmap(null, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (address === FAILED) return undefined;

    let released = false;
    let living = 0;
    const unmapUnused = () => {
      if (released && living === 0) munmap(address, size);
    };
    const viewLost = () => {
      living--;
      unmapUnused();
    };
    const make = (start: number, length: number): ArrayBuffer => {
      const buffer = koffi.view(address + BigInt(start), length);
      living++;
      lostViews.register(buffer, viewLost);
      return buffer;
    };

    const windows = new Map<number, ArrayBuffer>();
    let lookedAt = 0;
    return {
      view(start, end) {
        lookedAt += end - start;
        if (lookedAt > HELD) {
          madvise(address, size, MADV_DONTNEED);
          lookedAt = end - start;
        }
        const first = Math.floor(start / STEP) * STEP;
        // Too long for a shared view.
        if (end > first + SPAN) return new Uint8Array(make(start, end - start));
        let buffer = windows.get(first);
        if (!buffer) {
          buffer = make(first, Math.min(SPAN, size - first));
          windows.set(first, buffer);
        }
        return new Uint8Array(buffer, start - first, end - start);
      },
      release() {
        if (released) return;
        released = true;
        windows.clear();
        unmapUnused();
      },
    };
  };
}

/** koffi is optional, and not built for every machine. */
async function loadLibrary() {
  try {
    const { default: koffi } = await import("koffi");
    const libc = koffi.load(null);
    return {
      koffi,
      mmap: libc.func(
        "void *mmap(void *address, size_t size, int protection, int flags, int file, int64_t offset)",
      ),
      munmap: libc.func("int munmap(void *address, size_t size)"),
      madvise: libc.func("int madvise(void *address, size_t size, int advice)"),
    };
  } catch {
    return undefined;
  }
}
