import type { Inspection, StoredFiles } from "./inspection.ts";
import { bytesText, countText, flopText, table } from "./text.ts";
import { promptWork } from "./work.ts";

/** An inspection for people to read. */
export function describeInspection(inspection: Inspection): string {
  const { parameters, tiles, tokensPerTile, work, memory, stored } = inspection;
  const mostTiles = tiles.max + (tiles.thumbnail && tiles.max > 1 ? 1 : 0);
  const mostTokens = mostTiles * tokensPerTile;
  const picture = mostTiles * work.tile + promptWork(work, mostTokens);
  const thumbnail = tiles.thumbnail ? " and a thumbnail" : "";
  return table([
    ["model", inspection.source],
    ["family", `${inspection.vision} and ${inspection.language}`],
    ["template", inspection.template],
    ["parameters", countText(parameters.total)],
    ["  vision", countText(parameters.vision)],
    ["  projector", countText(parameters.projector)],
    ["  language", countText(parameters.language)],
    ["context", `${inspection.contextLength.toLocaleString("en-US")} tokens`],
    ["picture", `${tiles.min} to ${tiles.max} tiles of ${inspection.tileSize} pixels${thumbnail}`],
    ["", `${tokensPerTile} tokens a tile, at most ${mostTokens.toLocaleString("en-US")} a picture`],
    ...memory.map(
      ({ weights, bytes, supported }, i) =>
        [
          i === 0 ? "memory" : "",
          `${weights === "checkpoint" ? "bf16" : weights} ${bytesText(bytes)}${supported ? "" : " (no device here)"}`,
        ] as const,
    ),
    ["", `keys and values ${bytesText(inspection.cacheBytesPerToken)} a token`],
    ["work", `${flopText(work.tile)} a tile`],
    ["", `${flopText(work.promptToken)} a prompt token`],
    ["", `${flopText(work.newToken)} a new token`],
    ["", `${flopText(work.lookBack * 1000)} more for each 1,000 tokens before it`],
    ["", `${flopText(picture)} for a picture of ${mostTiles} tiles`],
    ...(stored ? storedRows(stored) : ([["files", "none: the published dimensions"]] as const)),
  ]);
}

function storedRows({ complete, problem, files, tensors }: StoredFiles): [string, string][] {
  const names = Object.keys(files);
  const rows: [string, string][] = Object.entries(files).map(([file, { bytes }], i) => [
    i === 0 ? (names.length === 1 ? "file" : `${names.length} shards`) : "",
    `${file} ${bytesText(bytes)}`,
  ]);
  Object.entries(tensors).forEach(([dtype, { count, bytes }], i) => {
    rows.push([i === 0 ? "tensors" : "", `${count} of ${dtype}, ${bytesText(bytes)}`]);
  });
  rows.push(["complete", complete ? "yes: every tensor is there, in its shape" : `no: ${problem}`]);
  return rows;
}
