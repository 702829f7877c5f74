// A conversation in words alone.
//   npm run example -- text [checkpoint]
import { InternVL } from "internvl";

// A tiny checkpoint with random weights: its words are gibberish, all else is as with "OpenGVLab/InternVL2-2B".
const [checkpoint = "test/golden/models/tiny-2b"] = process.argv.slice(2);
await using model = await InternVL.load(checkpoint);

const first = await model.chat("Hello, who are you?", { maxNewTokens: 64 });
console.log("User: Hello, who are you?\nAssistant:", first.text);

// A reply's history holds all turns: pass it on to continue.
const second = await model.chat("Can you tell me a story?", { history: first.history, maxNewTokens: 64 });
console.log("User: Can you tell me a story?\nAssistant:", second.text);
