import type { Embed, GatherRows, Patches, ScatterRows } from "../../../graph/operations.ts";
import { embedKernel, embedWorkgroups } from "../kernels/embed.wgsl.ts";
import { moveRowsKernel, moveRowsWorkgroups } from "../kernels/move-rows.wgsl.ts";
import { patchesKernel, patchesWorkgroups } from "../kernels/patches.wgsl.ts";
import { type Dispatch, inBuffer, type Lowering, status, statusWords, strides } from "./dispatch.ts";

/** A dispatch for each part of the table. */
export function lowerEmbed({ table, ids, output }: Embed, on: Lowering): Dispatch[] {
  const { parts, columns, rows, format } = on.weight(table);
  const kernel = embedKernel(columns, format as "bf16" | "f16" | "f32");
  return parts.map((part) => ({
    kernel,
    places: [inBuffer(part.values), on.place(ids), on.place(output), status(statusWords.badId)],
    sizes: [ids.rows, ...strides(ids), ...strides(output), part.firstRow, part.rows, rows],
    workgroups: embedWorkgroups(ids.rows),
  }));
}

export function lowerGather({ input, rows, output }: GatherRows, on: Lowering): Dispatch[] {
  return [
    {
      kernel: moveRowsKernel("gather"),
      places: [on.place(input), on.place(rows), on.place(output)],
      sizes: [
        rows.rows,
        rows.columns,
        input.columns,
        ...strides(input),
        ...strides(rows),
        ...strides(output),
      ],
      workgroups: moveRowsWorkgroups(rows.rows, rows.columns),
    },
  ];
}

export function lowerScatter({ target, source, rows }: ScatterRows, on: Lowering): Dispatch[] {
  return [
    {
      kernel: moveRowsKernel("scatter"),
      places: [on.place(source), on.place(rows), on.place(target)],
      sizes: [rows.rows, 1, source.columns, ...strides(source), ...strides(rows), ...strides(target)],
      workgroups: moveRowsWorkgroups(rows.rows, 1),
    },
  ];
}

export function lowerPatches(operation: Patches, on: Lowering): Dispatch[] {
  const { tiles, output } = operation;
  return [
    {
      kernel: patchesKernel(operation),
      places: [on.place(tiles), on.place(output)],
      sizes: [output.rows, ...strides(output)],
      workgroups: patchesWorkgroups(output.rows),
    },
  ];
}
