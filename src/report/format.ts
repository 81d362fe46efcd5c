/** Numbers and times as people read them. */

/** `0.8s`, `12s`, `3m04s`, `1h02m`, `2d03h`; `?` for what is not a finite time. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const s = Math.round(seconds);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(s % 3600 / 60)}m`;
  return `${Math.floor(s / 86400)}d${two(s % 86400 / 3600)}h`;
}

/** `digits` significant digits: `0.1235`, `1235`, `1.235e-5`; integers below 1e9 in full. */
export function formatNumber(value: number, digits = 4): string {
  if (!Number.isFinite(value) || (Number.isInteger(value) && Math.abs(value) < 1e9)) {
    return String(value);
  }
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e9) return value.toExponential(digits - 1);
  const fraction = digits - 1 - Math.floor(Math.log10(size));
  return value.toFixed(Math.max(0, fraction));
}

/** `loss 0.1235  mse 0.2000`: names and values in their order; text stays as it is. */
export function formatValues(values: Readonly<Record<string, number | string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${typeof value === "number" ? formatNumber(value) : value}`)
    .join("  ");
}
