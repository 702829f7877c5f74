// npm run demo: sets a fresh clone up, then shows the built-in model a few pictures, a photograph last. With arguments
// they go to `internvl chat`:
//   npm run demo -- --model OpenGVLab/InternVL2-2B --image photo.jpg "What is this?"
import { spawn } from "node:child_process";
import { makeReady, root } from "./ready.mjs";

const given = process.argv.slice(2);
makeReady();
if (given.length > 0) chat();
else await tour();

/** The command line does it all. */
function chat() {
  const child = spawn(process.execPath, [`${root}dist/cli/main.js`, "chat", "--verbose", ...given], {
    stdio: "inherit",
  });
  // Ctrl-C reaches the child by itself; this process only waits for it.
  process.on("SIGINT", () => undefined);
  child.on("exit", (code, signal) => process.exit(signal ? 130 : code));
}

async function tour() {
  const { InternVL } = await import("../dist/index.js");
  const model = await InternVL.load("demo");
  console.log(`The built-in model (12 million parameters), on ${model.device}. Pictures are in examples/.\n`);
  const pictures = [
    ["images/shapes.png", "Describe the picture."],
    ["images/sign.png", "What does the sign say?"],
    ["images/bars.png", "Which has the largest value?"],
    ["images/receipt.png", "What is the total?"],
    ["photos/cat.jpg", "What is in the picture?"],
  ];
  for (const [picture, question] of pictures) {
    process.stdout.write(`${picture}\n  ${question}\n  > `);
    const answer = model.stream(question, { images: [`${root}examples/${picture}`], maxNewTokens: 100 });
    for await (const { text } of answer) process.stdout.write(text.replaceAll("\n", "\n    "));
    const { usage, timings } = await answer.reply;
    const seconds = (milliseconds) => (milliseconds / 1000).toFixed(2);
    console.log(
      `\n    (${usage.promptTokens} tokens in, ${usage.completionTokens} out; first token after ${seconds(timings.firstToken)} s)\n`,
    );
  }
  await model.dispose();
  console.log('Yours: npm run demo -- --image picture.png "What does it say?"');
  console.log(
    'A published checkpoint: npm run demo -- --model OpenGVLab/InternVL2-1B --image photo.jpg "What is this?"',
  );
}
