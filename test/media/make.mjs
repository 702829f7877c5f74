// Makes the test data of this folder. Needs ffmpeg 5.1 or later (x86) with libx264: `node test/media/make.mjs && npx biome check --write test/media`.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

process.chdir(import.meta.dirname);
const ffmpeg = (...args) => execFileSync("ffmpeg", ["-v", "error", "-y", ...args], { maxBuffer: 2 ** 30 });
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const writeJSON = (file, value) => writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);

// Noise in every sample, odd width: the hardest picture for a YUV to RGB conversion.
const [width, height] = [41, 32];
let state = 1;
const noise = Uint8Array.from({ length: width * height + 2 * 21 * 16 }, () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state >>> 24;
});
writeFileSync("noise.yuv", noise);
const toRGB = (colorspace, range) =>
  ffmpeg(
    ...["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", `${width}x${height}`, "-i", "noise.yuv"],
    ...[
      "-vf",
      `setparams=colorspace=${colorspace}:range=${range}`,
      "-pix_fmt",
      "rgb24",
      "-f",
      "rawvideo",
      "-",
    ],
  );
writeFileSync("noise.bt601.rgb", toRGB("unknown", "tv"));
writeFileSync("noise.bt709.rgb", toRGB("bt709", "tv"));
const names = { bt601: "smpte170m", bt709: "bt709", fcc: "fcc", smpte240m: "smpte240m", bt2020: "bt2020nc" };
const rows = Object.entries(names).flatMap(([matrix, colorspace]) =>
  ["tv", "pc"].map((range) => ({
    matrix,
    fullRange: range === "pc",
    sha256: sha256(toRGB(colorspace, range)),
  })),
);
writeJSON("noise.json", { width, height, rows });

// A clip with B-frames and two groups of pictures, and what ffmpeg makes of each of its frames.
const source = [
  "-f",
  "lavfi",
  "-i",
  "testsrc2=size=64x48:rate=12:duration=2,scroll=horizontal=0.05:vertical=0.03",
];
const h264 = [
  "-c:v",
  "libx264",
  "-pix_fmt",
  "yuv420p",
  "-crf",
  "12",
  "-bf",
  "3",
  "-g",
  "12",
  "-threads",
  "1",
  "-bitexact",
];
ffmpeg(...source, ...h264, "-b_strategy", "0", "clip.mp4");
// The same packets, cut inside the first group: an edit list hides the frames before the cut.
ffmpeg("-ss", "0.55", "-i", "clip.mp4", "-c", "copy", "-bitexact", "trimmed.mp4");
// The same pictures tagged BT.709, in Matroska.
ffmpeg(...source, ...h264, ...["-colorspace", "bt709", "-color_range", "tv"], "bt709.mkv");
// VP8 with alternate reference frames: packets that are decoded and never shown.
const vp8 = [
  ...source,
  ...["-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "60k", "-threads", "1"],
];
const log = ["-passlogfile", join(tmpdir(), "internvl-make")];
ffmpeg(...vp8, "-pass", "1", ...log, "-f", "null", "-");
ffmpeg(...vp8, "-pass", "2", ...log, "-bitexact", "hidden.webm");
ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", "-bitexact", "audio-only.mp4");

const clips = ["clip.mp4", "trimmed.mp4", "bt709.mkv", "hidden.webm"].map((file) => {
  const rgb = ffmpeg("-i", file, "-vsync", "0", "-pix_fmt", "rgb24", "-f", "rawvideo", "-");
  const size = 64 * 48 * 3;
  const frames = Array.from({ length: rgb.length / size }, (_, i) =>
    sha256(rgb.subarray(i * size, (i + 1) * size)),
  );
  if (new Set(frames).size !== frames.length)
    throw new Error(`${file}: two frames are alike, so no test can tell them apart`);
  const probe = execFileSync("ffprobe", [
    ...[
      "-v",
      "error",
      "-select_streams",
      "v:0",
      "-show_entries",
      "stream=avg_frame_rate:frame=best_effort_timestamp_time",
    ],
    ...["-of", "json", file],
  ]);
  const { streams, frames: shown } = JSON.parse(probe);
  const timestamps = shown.map((frame) => Number(frame.best_effort_timestamp_time));
  return { file, width: 64, height: 48, fps: streams[0].avg_frame_rate, timestamps, frames };
});
writeJSON("clips.json", clips);
