import fc from "fast-check";
import { expect, it } from "vitest";
import { encodePng } from "./encode-png.ts";
import { defaultImageLimits } from "./image.ts";
import { decodePng } from "./png.ts";

it("comes back from the decoder as it was", async () => {
  const side = fc.integer({ min: 1, max: 30 });
  await fc.assert(
    fc.asyncProperty(side, side, fc.integer(), async (width, height, seed) => {
      const data = new Uint8Array(width * height * 3).map((_, i) => Math.imul(i + seed, 2654435761) >>> 24);
      const bytes = await encodePng({ width, height, data });
      const { image } = await decodePng(bytes, "test", defaultImageLimits);
      expect(image).toEqual({ width, height, data });
    }),
    { numRuns: 30 },
  );
});

it("writes a file whose check sums the decoder verifies", async () => {
  const bytes = await encodePng({ width: 2, height: 1, data: new Uint8Array(6) });
  bytes[29] ^= 1;
  await expect(decodePng(bytes, "test", defaultImageLimits)).rejects.toThrow("check sum of IHDR");
});
