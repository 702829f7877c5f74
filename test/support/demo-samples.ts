import { readFileSync } from "node:fs";
import { type BatchItem, type InternVL, loadImage } from "../../src/index.ts";

/** Held-out pictures beside the built-in model, with what is to be answered. */
export const folder = new URL("../../models/demo/samples/", import.meta.url).pathname;

export interface Sample {
  skill: string;
  question: string;
  answer: string;
  image?: string;
  images?: string[];
  frames?: string[];
  maxTiles?: number;
}

export const maxNewTokens = 100;

export const samples = JSON.parse(readFileSync(`${folder}questions.json`, "utf8")) as Sample[];

export async function ask(model: InternVL, sample: Sample): Promise<string> {
  const { question, ...options } = await conversation(sample);
  return (await model.chat(question, options)).text;
}

/** A sample as the product takes it; two pictures stand in front of the question under the published names. */
export async function conversation(sample: Sample): Promise<BatchItem> {
  const { question, image, images, frames, maxTiles } = sample;
  if (frames) {
    const video = await Promise.all(frames.map((name) => loadImage(folder + name)));
    return { question, maxNewTokens, video };
  }
  const marks = images?.map((_, i) => `Image-${i + 1}: <image>\n`).join("") ?? "";
  const paths = (images ?? (image ? [image] : [])).map((name) => folder + name);
  return { question: marks + question, maxNewTokens, maxTiles, images: paths };
}
