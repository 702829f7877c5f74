/** A vitest reporter whose one line, the last of all, says how the tests went: `12 passed, 0 failed, 3 skipped`. */
export default class ClosingLine {
  onTestRunEnd(modules, errors) {
    const count = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      const tests = [...module.children.allTests()];
      for (const test of tests) {
        const { state } = test.result();
        count[state === "passed" || state === "failed" ? state : "skipped"]++;
      }
      // A file that could not be read, or a hook that threw, has no failed test of its own.
      if (module.state() === "failed" && !tests.some((test) => test.result().state === "failed"))
        count.failed++;
    }
    const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : "";
    const line = `${count.passed} passed, ${count.failed + errors.length} failed${skipped}`;
    process.once("exit", () => console.log(line));
  }
}
