import { describeGolden } from "./support/golden-suite.ts";

describeGolden("tiny-8b");
