/**
 * What must never reach a terminal raw: C0 and C1 controls, DEL, line separators and bidirectional controls.
 *
 * Written down apart from the program's own list, so that a gap in one of them shows.
 */
export const STEERING = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/u;
