const never = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread, for what is done synchronously and has to let somebody else go on. */
export const pause = (milliseconds: number): void => void Atomics.wait(never, 0, 0, milliseconds);
