import { type PageStore, type StorePath, storeName } from "./store.ts";

/** What the DOM library of TypeScript does not have yet: the iteration over a folder. */
type Folder = FileSystemDirectoryHandle & { keys(): AsyncIterable<string> };

/**
 * The origin private file system. A file that is written takes the place of the one before when it is closed, in one
 * step (File System Standard, 2.5.2 createWritable): a page that ends in the middle leaves nothing, and two pages that
 * write the same bytes do not meet. Undefined where the browser refuses it, as some private windows do.
 */
export async function openPrivateFiles(): Promise<PageStore | undefined> {
  let top: FileSystemDirectoryHandle;
  try {
    top = await navigator.storage.getDirectory();
    await top.getDirectoryHandle(storeName, { create: true });
  } catch {
    return undefined;
  }
  // Opened anew each time: another page may have removed it.
  const root = async () => (await top.getDirectoryHandle(storeName, { create: true })) as Folder;
  const open = ([folder, file]: StorePath) =>
    orAbsent(async () => {
      const handle = await (await (await root()).getDirectoryHandle(folder)).getFileHandle(file);
      return handle.getFile();
    });
  return {
    async read(path) {
      const file = await open(path);
      return file && (await orAbsent(async () => new Uint8Array(await file.arrayBuffer())));
    },
    size: async (path) => (await open(path))?.size ?? 0,
    async write([folder, file], bytes) {
      const parent = await (await root()).getDirectoryHandle(folder, { create: true });
      const handle = await parent.getFileHandle(file, { create: true });
      const writable = await handle.createWritable();
      try {
        await writable.write(bytes as Uint8Array<ArrayBuffer>);
        await writable.close();
      } catch (error) {
        await writable.abort().catch(() => undefined);
        // An empty file was made for the name.
        await parent.removeEntry(file).catch(() => undefined);
        throw error;
      }
    },
    async list(folder) {
      const names = await orAbsent(async () => {
        const opened = await root();
        const listed = folder === undefined ? opened : ((await opened.getDirectoryHandle(folder)) as Folder);
        const found: string[] = [];
        for await (const name of listed.keys()) found.push(name);
        return found;
      });
      return names ?? [];
    },
    async remove(folder) {
      await orAbsent(async () => (await root()).removeEntry(folder, { recursive: true }));
    },
  };
}

/** Files vanish while another page clears them, or are replaced while they are read. */
async function orAbsent<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const { name } = error as DOMException;
    if (name === "NotFoundError" || name === "NotReadableError") return undefined;
    throw error;
  }
}
