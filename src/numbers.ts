/** Thousands apart, as in `1 234 567.8`. */
export const grouped = (value: number, digits = 0): string => {
  const [whole = '', rest] = value.toFixed(digits).split('.');
  const spaced = whole.replace(/\B(?=(?:\d{3})+$)/g, ' ');
  return rest === undefined ? spaced : `${spaced}.${rest}`;
};

export interface TimeUnit {
  name: string;
  /** Nanoseconds. */
  size: number;
  digits: number;
}

/** The unit in which so many nanoseconds have about four digits. */
export const unitFor = (nanoseconds: number): TimeUnit => {
  if (nanoseconds >= 1e10) return {name: 's', size: 1e9, digits: 1};
  if (nanoseconds >= 1e7) return {name: 'ms', size: 1e6, digits: 1};
  if (nanoseconds >= 1e5) return {name: 'µs', size: 1e3, digits: 1};
  return {name: 'ns', size: 1, digits: nanoseconds < 100 ? 1 : 0};
};

export const inUnit = (nanoseconds: number, {size, digits}: TimeUnit): string =>
  grouped(nanoseconds / size, digits);

/** Nanoseconds in a unit that suits them. */
export const timeText = (nanoseconds: number): string => {
  const unit = unitFor(Math.abs(nanoseconds));
  return `${inUnit(nanoseconds, unit)} ${unit.name}`;
};
