/** Work that is handed in runs one after the other, in the order in which it comes. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work, work);
    // Who comes next waits for it, however it ends.
    last = mine.catch(() => undefined);
    return mine;
  };
}
