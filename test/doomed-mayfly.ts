// Mayfly as `npm start` runs it, but with a moment at which it kills or freezes itself: `node test/doomed-mayfly.ts '{"point":"built"}'`.
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

if (import.meta.main) {
  const { point, signal, time } = doom.parse(JSON.parse(process.argv[2] ?? ''));
  let met = 0;
  armFaultPoints((here) => {
    if (here !== point) return;
    met += 1;
    if (met === time) process.kill(process.pid, signal);
  });
  await main();
}
