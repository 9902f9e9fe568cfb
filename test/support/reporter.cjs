'use strict';
const {reporters, Runner} = require('mocha');

const {EVENT_TEST_PENDING, EVENT_RUN_END} = Runner.constants;

/** mocha's spec reporter, and at the end every skipped test by name with its reason, and the counts in one line. */
class Reporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const skipped = [];
    runner.on(EVENT_TEST_PENDING, (test) => skipped.push(test));
    runner.once(EVENT_RUN_END, () => {
      for (const test of skipped) {
        reporters.Base.consoleLog(`skipped: ${test.fullTitle()}: ${test.skipReason ?? 'no reason given'}`);
      }
      const {passes, failures} = this.stats;
      reporters.Base.consoleLog(`\n${passes} passed, ${failures} failed, ${skipped.length} skipped`);
    });
  }
}

module.exports = Reporter;
