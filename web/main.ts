/** A page that asks a model about a picture. Everything runs here: the picture goes nowhere. */

import { InternVL, type LoadOptions, type ModelSource, type Progress } from "internvl";
import { demo } from "internvl/demo";

const find = <E extends HTMLElement>(id: string): E => document.getElementById(id) as E;
const status = find("status");
const bar = find<HTMLProgressElement>("progress");
const drop = find("drop");
const file = find<HTMLInputElement>("file");
const picture = find<HTMLImageElement>("picture");
const question = find<HTMLInputElement>("question");
const ask = find<HTMLButtonElement>("ask");
const cancel = find<HTMLButtonElement>("cancel");
const answer = find("answer");
const figures = find("figures");
const error = find("error");

let model: InternVL | undefined;
let image: Blob | undefined;
let controller: AbortController | undefined;

const devices: Readonly<Record<string, string>> = {
  webgpu: "the GPU (WebGPU)",
  cpu: "the processor (WebAssembly)",
  reference: "the processor (plain TypeScript)",
};
const phases: Readonly<Record<Progress["phase"], string>> = {
  download: "Downloading",
  verify: "Verifying",
  load: "Loading the weights",
  compile: "Choosing the kernels",
  encode: "Looking at the picture",
  prefill: "Reading the question",
};

function showProgress({ phase, loaded, total }: Progress): void {
  bar.hidden = false;
  bar.max = total;
  bar.value = loaded;
  const amount = phase === "download" ? ` ${megabytes(loaded)} of ${megabytes(total)} MB` : "";
  status.textContent = `${phases[phase]}${amount} …`;
}

function notice(text: string): void {
  const item = document.createElement("li");
  item.textContent = text;
  find("notices").append(item);
}

/** Runs one thing at a time, with Cancel and errors in their places. */
async function run(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  controller = new AbortController();
  error.hidden = true;
  cancel.disabled = false;
  ask.disabled = true;
  try {
    await work(controller.signal);
  } catch (problem) {
    if (controller.signal.aborted) figures.textContent = "Cancelled.";
    else {
      error.textContent = problem instanceof Error ? problem.message : String(problem);
      error.hidden = false;
    }
  } finally {
    controller = undefined;
    cancel.disabled = true;
    ask.disabled = !model;
    bar.hidden = true;
    status.textContent = model ? `The model runs on ${devices[model.device] ?? model.device}.` : "No model.";
  }
}

async function load(signal: AbortSignal): Promise<void> {
  const asked = new URLSearchParams(location.search);
  const source: ModelSource = asked.get("model") ?? demo;
  const device = (asked.get("device") ?? undefined) as LoadOptions["device"];
  const weights = (asked.get("weights") ?? undefined) as LoadOptions["weights"];
  model = await InternVL.load(source, {
    device,
    weights,
    signal,
    onProgress: showProgress,
    onNotice: notice,
  });
}

async function answerQuestion(signal: AbortSignal): Promise<void> {
  answer.textContent = "";
  figures.textContent = "";
  const images = image ? [image] : [];
  const stream = model!.stream(question.value, { images, signal, onProgress: showProgress });
  for await (const { text } of stream) answer.textContent += text;
  const { usage, timings } = await stream.reply;
  const first = (timings.firstToken / 1000).toFixed(2);
  figures.textContent = `${usage.promptTokens} tokens in, ${usage.completionTokens} out; first token after ${first} s`;
}

function show(blob: Blob | null | undefined): void {
  if (!blob) return;
  image = blob;
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(blob);
  picture.hidden = false;
  find("hint").hidden = true;
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

file.addEventListener("change", () => show(file.files?.[0]));
drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  show(event.dataTransfer?.files[0]);
});
addEventListener("paste", (event) => show(event.clipboardData?.files[0]));
cancel.addEventListener("click", () => controller?.abort());
find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (model && !controller) void run(answerQuestion);
});

void run(load);
