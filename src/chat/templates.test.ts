import { expect, it } from "vitest";
import { ConfigError } from "../errors.ts";
import { templateOf } from "./templates.ts";

it("has the three templates of the family; two differ by name alone", () => {
  const { name: _, ...chatML } = templateOf("internlm2-chat");
  const { name, ...hermes } = templateOf("Hermes-2");
  expect(name).toBe("Hermes-2");
  expect(hermes).toEqual(chatML);
  expect(templateOf("phi3-chat")).toMatchObject({ end: "<|end|>", systemMessage: chatML.systemMessage });
});

it("names the field, the template asked for and those there are", () => {
  const ask = () => templateOf("internvl2_5");
  expect(ask).toThrow(ConfigError);
  expect(ask).toThrow(
    'template: "internvl2_5" is not a template of InternVL2 (internlm2-chat, Hermes-2, phi3-chat)',
  );
});
