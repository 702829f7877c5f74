// The same networks for onnxruntime: the language model from its embeddings to the logits of the last token, and the tower.
import { OnnxFile } from "./onnx-file.mjs";

const microsoft = { domain: "com.microsoft" };

/** Decoder layers with their cache (past in, present out), the last norm and the head. */
export function writeLanguage(path, language, layers, kind, positions) {
  const {
    hiddenSize: width,
    intermediateSize: inner,
    heads,
    keyValueHeads,
    headSize,
    vocabularySize,
  } = language;
  const model = new OnnxFile(path);
  let x = model.input("x", "float", [1, "tokens", width]);
  model.input("last", "int32", [1]);
  model.input("total", "int32", []);
  const angles = (of) =>
    Float32Array.from({ length: (positions * headSize) / 2 }, (_, i) => {
      const pair = i % (headSize / 2);
      return of(Math.floor(i / (headSize / 2)) * language.rope.theta ** ((-2 * pair) / headSize));
    });
  const cosines = model.constant(angles(Math.cos), [positions, headSize / 2]);
  const sines = model.constant(angles(Math.sin), [positions, headSize / 2]);
  const ones = model.vector(width);
  const norm = (input) =>
    model.add("SimplifiedLayerNormalization", [input, ones], {
      axis: -1,
      epsilon: { float: language.normEpsilon },
    });
  for (let i = 0; i < layers; i++) {
    const cached = ["pastKeys", "pastValues"].map((name) =>
      model.input(`${name}${i}`, "float", [1, keyValueHeads, "past", headSize]),
    );
    const present = [`keys${i}`, `values${i}`];
    for (const name of present) model.output(name, "float", [1, keyValueHeads, "total", headSize]);
    const qkv = model.product(kind, norm(x), width, (heads + 2 * keyValueHeads) * headSize);
    const mixed = model.add(
      "GroupQueryAttention",
      [qkv, "", "", ...cached, "last", "total", cosines, sines],
      {
        outputs: [`mixed${i}`, ...present],
        num_heads: heads,
        kv_num_heads: keyValueHeads,
        do_rotary: 1,
        rotary_interleaved: 0,
        ...microsoft,
      },
    );
    x = model.add("Add", [x, model.product(kind, mixed, heads * headSize, width)]);
    const both = model.product(kind, norm(x), width, 2 * inner);
    const gate = model.slice(both, 0, inner);
    const hidden = model.add("Mul", [
      model.add("Mul", [gate, model.add("Sigmoid", [gate])]),
      model.slice(both, inner, 2 * inner),
    ]);
    x = model.add("Add", [x, model.product(kind, hidden, inner, width)]);
  }
  const end = 2n ** 62n;
  const row = model.slice(norm(x), -1, end, 1);
  const logits = model.product(kind, row, width, vocabularySize);
  model.add("Identity", [logits], { outputs: ["logits"] });
  model.output("logits", "float", [1, 1, vocabularySize]);
  model.save();
  return model.weightBytes;
}

/** InternViT's blocks: LayerNorm, biases, attention, GELU, layer scale, residuals. */
export function writeTower(path, vision, layers, kind) {
  const { hiddenSize: width, intermediateSize: inner, heads } = vision;
  const model = new OnnxFile(path);
  let x = model.input("x", "float", [1, "tokens", width]);
  const one = model.vector(width);
  const norm = (input) =>
    model.add("LayerNormalization", [input, one, model.vector(width, 0)], {
      axis: -1,
      epsilon: { float: vision.normEpsilon },
    });
  const linear = (input, rows, columns) =>
    model.add("Add", [model.product(kind, input, rows, columns), model.vector(columns, 0.01)]);
  for (let i = 0; i < layers; i++) {
    const qkv = linear(norm(x), width, 3 * width);
    const parts = [0, 1, 2].map((part) => model.slice(qkv, part * width, (part + 1) * width));
    const mixed = model.add("MultiHeadAttention", parts, { num_heads: heads, ...microsoft });
    x = model.add("Add", [x, model.add("Mul", [linear(mixed, width, width), model.vector(width, 0.5)])]);
    const hidden = model.add("Gelu", [linear(norm(x), width, inner)], microsoft);
    x = model.add("Add", [x, model.add("Mul", [linear(hidden, inner, width), model.vector(width, 0.5)])]);
  }
  model.add("Identity", [x], { outputs: ["states"] });
  model.output("states", "float", [1, "tokens", width]);
  model.save();
  return model.weightBytes;
}
