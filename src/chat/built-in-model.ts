import type { CheckpointAddresses } from "../checkpoint/url/address.ts";

/**
 * The model that comes with the package, for pages: `InternVL.load(demo)`. Its files are 25 MB, and only a page that imports
 * this has them among its own: bundlers follow each of these addresses, which is why they are written out.
 */
export const demo: CheckpointAddresses = {
  label: "demo",
  addresses: {
    "config.json": new URL("../../models/demo/config.json", import.meta.url),
    "tokenizer_config.json": new URL("../../models/demo/tokenizer_config.json", import.meta.url),
    "special_tokens_map.json": new URL("../../models/demo/special_tokens_map.json", import.meta.url),
    "added_tokens.json": new URL("../../models/demo/added_tokens.json", import.meta.url),
    "tokenizer.model": new URL("../../models/demo/tokenizer.model", import.meta.url),
    "model.safetensors": new URL("../../models/demo/model.safetensors", import.meta.url),
  },
};
