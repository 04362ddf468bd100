// How Node.js runs Mayfly: in life, in the demo and where it is measured.
export const nodeFlags = [
  '--disable-warning=ExperimentalWarning',
  // Room for new objects: Node's own 16 MB, three times over, keep 39 MiB more of an idle Mayfly in memory.
  '--max-semi-space-size=4',
  // The old ones may reach so many MB before they are gone through, and not 70: it takes 50 ms of a processor and more, which each burst of
  // webhooks brought about, and whoever was to be answered meanwhile waited (p99 at 100/s: 5 to 10 ms, and 3 to 4 so).
  '--initial-old-space-size=160',
  // One thread collects and compiles beside ours: Node's own four kept it from both of two processors.
  '--v8-pool-size=1',
];
