/**
 * Moments at which a test may end, freeze or delay the process: right after something became true outside and before the next thing
 * that records it. Nothing but a test's own entry arms one, so in production each is one comparison.
 */
export const FAULT_POINTS = [
  /** A webhook is in the inbox; its job is not added and its sender not answered yet. */
  'delivery-stored',
  /** A site's row was written; what that asks for is not handed to the queues yet. Met at every change of every site. */
  'row-committed',
  /** The site's lease is ours; its row has not been read. */
  'lease-taken',
  'launch-row-written',
  'launch-started',
  'fetched',
  'built',
  'stack-made',
  /** In the engine's run, which has not heard of it: its state has the resource as pending. */
  'database-made',
  'process-started',
  /** The engine is through and its state written. */
  'up-returned',
  /** The row says ready; the revision before still runs. */
  'launch-succeeded',
  'before-settle',
  /** One of a site's resources is gone, and others are not; where the engine removes it, its state still has it. */
  'resource-removed',
  /** Nothing is left on the target; the row still says ending. */
  'destroyed',
  /** On the forge, and its id not saved. */
  'comment-posted',
  'check-made',
  'deployment-made',
] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];
export type FaultHandler = (point: FaultPoint) => Promise<void> | void;

let armed: FaultHandler | null = null;

export async function faultPoint(point: FaultPoint): Promise<void> {
  if (armed !== null) await armed(point);
}

/** For tests: `handler` is called at every point, until what is returned is disposed of. */
export function armFaultPoints(handler: FaultHandler): Disposable {
  armed = handler;
  return {
    [Symbol.dispose]() {
      if (armed === handler) armed = null;
    },
  };
}
