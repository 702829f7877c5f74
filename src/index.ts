/** InternVL2 vision-language models from TypeScript. Everything public is named here. */

export type { Precision } from "./backend/backend.ts";
export type { BuildPromptOptions, PromptTurn } from "./chat/build-prompt.ts";
export { buildPrompt } from "./chat/build-prompt.ts";
export type { AskOptions, Turn } from "./chat/conversation.ts";
export { type BatchItem, type ChatOptions, type GenerateOptions, InternVL } from "./chat/internvl.ts";
export type { LoadOptions, ModelSource } from "./chat/load.ts";
export type { PictureInput, PictureOptions, Tile, TiledPicture } from "./chat/pictures.ts";
export {
  imageToken,
  type Pipeline,
  type PipelineOptions,
  type PipelinePrompt,
  pipeline,
  type Session,
} from "./chat/pipeline.ts";
export type { Answer, Reply, Usage } from "./chat/reply.ts";
export type { Piece, ReplyStream } from "./chat/reply-stream.ts";
export type { Template } from "./chat/templates.ts";
export type * from "./checkpoint/description.ts";
export { type CheckpointFiles, openBlobs } from "./checkpoint/files.ts";
export type { CheckpointAddresses } from "./checkpoint/url/address.ts";
export {
  type CachedFile,
  cachedCheckpoints,
  clearCheckpointCache,
} from "./checkpoint/url/cached-checkpoints.ts";
export type { GeneratedSequence } from "./engine/generation.ts";
export type { Timings } from "./engine/job.ts";
export type { GenerationOptions } from "./engine/options.ts";
export * from "./errors.ts";
export { type DecodeOptions, decodeImage } from "./media/decode.ts";
export type { ImageLimits, RGBImage } from "./media/image.ts";
export { type SampleFramesOptions, sampleFrames } from "./media/sample-frames.ts";
export { type ImageSource, type LoadImageOptions, loadImage } from "./media/sources.ts";
export { chooseGrid, type GridOptions, type TileOptions, type Tiling, tileImage } from "./media/tiles.ts";
export {
  type LoadVideoOptions,
  loadVideoFrames,
  type VideoDecoderName,
  type VideoFrames,
  type VideoLimits,
  type VideoSource,
} from "./media/video.ts";
export type { OnNotice } from "./notice.ts";
export type { OnProgress, Progress } from "./progress.ts";
export type { DecodingRules, Tokenizer } from "./text/tokenizer.ts";
export type { InvalidBytes } from "./text/utf8.ts";
