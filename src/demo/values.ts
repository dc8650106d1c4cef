/** What HubSpot's text is worth in a column of a type, in a form that can be compared; `isOdd`: no such column can hold it. */
export function valueOf(columnType: string, text: string): { value: string | number | string[] | null; isOdd?: true } {
  const value = READERS[columnType]?.(text) ?? null
  return value === null ? { value, isOdd: true } : { value }
}

const READERS: Record<string, (text: string) => string | number | string[] | null> = {
  text: (text) => text,
  'text[]': (text) => text.split(';').filter((part) => part !== ''),
  numeric: (text) => decimal(text),
  boolean: (text) => (text === 'true' || text === 'false' ? text : null),
  date: (text) => (/^-?\d{5,}$/.test(text) ? new Date(Number(text)).toISOString().slice(0, 10) : /^\d{4}-\d{2}-\d{2}/.test(text) ? text.slice(0, 10) : null),
  timestamptz: (text) => {
    const time = /^-?\d+$/.test(text) ? Number(text) : Date.parse(text)
    return Number.isNaN(time) ? null : time
  },
}

/** A decimal number without its superfluous zeros, exact at any length: digits and a power of ten. */
function decimal(text: string): string | null {
  const match = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match === null || (match[2] === '' && match[3] === '')) return null
  const [, sign, whole = '', part = '', power = '0'] = match
  const digits = (whole + part).replace(/^0+/, '')
  const kept = digits.replace(/0+$/, '')
  const exponent = Number(power) - part.length + digits.length - kept.length
  return kept === '' ? '0' : `${sign === '-' ? '-' : ''}${kept}e${exponent}`
}
