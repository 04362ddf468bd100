// How Node.js runs Mayfly: in life, in the demo and where it is measured.
export const nodeFlags = [
  '--disable-warning=ExperimentalWarning',
  // Room for new objects: Node's own 16 MB, three times over, keep 39 MiB more of an idle Mayfly in memory (136 MiB, 97 MiB with 4).
  '--max-semi-space-size=4',
  // The old ones are gone through when they have reached so many MB, and not at 70 already: it takes 50 ms of a processor and more, which a
  // burst of webhooks brought about each time, and whoever was to be answered meanwhile waited (p99 at 100/s: 6.6 ms, and 3.4 so).
  '--initial-old-space-size=160',
  // One thread collects and compiles beside ours: Node's own four kept it from both of two processors.
  '--v8-pool-size=1',
];
