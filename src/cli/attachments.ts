import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { countMarks, imageMark } from "../chat/build-prompt.ts";
import { type PictureOptions, type TiledPicture, tilePicture, tileVideo } from "../chat/pictures.ts";
import type { TilingDescription } from "../checkpoint/description.ts";
import type { OnProgress } from "../progress.ts";
import { UsageError } from "./usage.ts";

/** A picture or clip by its place, as a saved conversation names it. */
export type MediaPlace =
  | { readonly image: string }
  | { readonly video: string; readonly segments: number; readonly bound?: readonly [number, number] };

/** A picture or clip that goes with a question. */
export interface Attachment {
  readonly place: MediaPlace;
  /** One for a picture; one a frame for a clip. */
  readonly pictures: readonly TiledPicture[];
}

export const defaultSegments = 8;

/** Opens and tiles what stands at a place. */
export async function attach(
  place: MediaPlace,
  tiling: TilingDescription,
  options: PictureOptions & { signal: AbortSignal; onProgress?: OnProgress },
): Promise<Attachment> {
  if ("image" in place) return { place, pictures: [await tilePicture(place.image, tiling, options)] };
  const { video, segments, bound } = place;
  const { signal, onProgress } = options;
  return { place, pictures: await tileVideo(video, tiling, { segments, bound, signal, onProgress }) };
}

/** The places that flags name. */
export function placesOf(flags: {
  image?: readonly string[];
  video?: string;
  segments?: number;
  bound?: [number, number];
}): MediaPlace[] {
  const { image: images = [], video, segments = defaultSegments, bound } = flags;
  if (video === undefined) {
    for (const name of ["segments", "bound"] as const) {
      if (flags[name] !== undefined) throw new UsageError(`--${name}: is only read with --video`);
    }
    return images.map((image) => ({ image: fullPath(image) }));
  }
  if (images.length > 0) throw new UsageError("--video: can not be combined with --image in one question");
  return [{ video: fullPath(video), segments, ...(bound && { bound }) }];
}

/** A path that holds wherever it is read again; an address stays as it is. */
export function fullPath(place: string): string {
  return /^[a-z][a-z0-9+.-]+:/i.test(place) ? place : resolve(place);
}

/** A model's folder as a path that holds from everywhere; a hub id stays as it is. */
export function fullSource(source: string): string {
  return existsSync(source) ? resolve(source) : source;
}

/**
 * The question with a mark for each picture, as the model card writes them: one picture in front as it is, several as
 * `Image-1: <image>` and so on, frames as `Frame1: <image>`. Marks that are there already stay where they are.
 */
export function withMarks(question: string, attachments: readonly Attachment[]): string {
  if (countMarks(question) > 0) return question;
  const images = attachments.filter(({ place }) => "image" in place).length;
  let image = 0;
  const front = attachments.map(({ place, pictures }) => {
    if ("video" in place) return pictures.map((_, i) => `Frame${i + 1}: ${imageMark}\n`).join("");
    image++;
    return images === 1 ? `${imageMark}\n` : `Image-${image}: ${imageMark}\n`;
  });
  return front.join("") + question;
}
