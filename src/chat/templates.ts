import { ConfigError } from "../errors.ts";

/** How a conversation is written down for a model: conversation.py of the published code, separator style MPT. */
export interface Template {
  readonly name: string;
  readonly system: string;
  readonly user: string;
  readonly assistant: string;
  /** Ends every message, with no newline after it; its id ends an answer. */
  readonly end: string;
  readonly systemMessage: string;
}

/** The system message of every InternVL2 template; the first comma is full-width. */
const systemMessage =
  "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";

const chatML = {
  system: "<|im_start|>system\n",
  user: "<|im_start|>user\n",
  assistant: "<|im_start|>assistant\n",
  end: "<|im_end|>",
  systemMessage,
};

const templates: readonly Template[] = [
  { name: "internlm2-chat", ...chatML },
  { name: "Hermes-2", ...chatML },
  {
    name: "phi3-chat",
    system: "<|system|>\n",
    user: "<|user|>\n",
    assistant: "<|assistant|>\n",
    end: "<|end|>",
    systemMessage,
  },
];

/** The template of a name, as `config.json` has it under `template`. */
export function templateOf(name: string): Template {
  const found = templates.find((template) => template.name === name);
  if (found) return found;
  const known = templates.map((template) => template.name).join(", ");
  throw new ConfigError("template", `${JSON.stringify(name)} is not a template of InternVL2 (${known})`);
}
