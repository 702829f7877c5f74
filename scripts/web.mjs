// npm run web: builds what is missing, and serves the page in web/ for this machine; arguments go to vite (--port, --host).
import { spawn } from "node:child_process";
import { makeReady, root } from "./ready.mjs";

makeReady();
const vite = [`${root}node_modules/vite/bin/vite.js`, "--config", `${root}web/vite.config.ts`];
const child = spawn(process.execPath, [...vite, ...process.argv.slice(2)], { stdio: "inherit" });
// Ctrl-C reaches the child by itself; this process only waits for it.
process.on("SIGINT", () => undefined);
child.on("exit", (code, signal) => process.exit(signal ? 130 : (code ?? 1)));
