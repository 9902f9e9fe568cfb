/** Places in the memory that controls the thread of a vCPU: what is wanted of it, and whether it rests. */
export const WANTED = 0;
export const RESTS = 1;

/** What is wanted of it. */
export const RUN = 0;
export const END = 1;
export const PAUSE = 2;
