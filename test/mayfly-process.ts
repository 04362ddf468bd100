// Mayfly as `npm start` runs it, but with a moment at which it kills or freezes itself, or Google Cloud elsewhere:
// `node test/mayfly-process.ts '{"doom":{"point":"built"}}'`.
import { z } from 'zod';
import { armFaultPoints, FAULT_POINTS } from '../src/fault-points.ts';
import { main } from '../src/main.ts';

const doom = z.object({
  point: z.enum(FAULT_POINTS),
  signal: z.enum(['SIGKILL', 'SIGSTOP']).default('SIGKILL'),
  /** The how manieth time that the point is met. */
  time: z.number().default(1),
});
export type Doom = z.input<typeof doom>;
const surroundings = z.object({
  doom: doom.optional(),
  google: z.object({ endpoint: z.url().transform((url) => new URL(url)), provider: z.string() }).optional(),
});
export type Surroundings = z.input<typeof surroundings>;

function arm({ point, signal, time }: z.output<typeof doom>): void {
  let met = 0;
  armFaultPoints((here) => {
    if (here !== point) return;
    met += 1;
    if (met === time) process.kill(process.pid, signal);
  });
}

if (import.meta.main) {
  const { doom: end, google } = surroundings.parse(JSON.parse(process.argv[2] ?? ''));
  if (end) arm(end);
  await main(google ? { google } : {});
}
