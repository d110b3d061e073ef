// @ts-check
// Formats amounts as the server does. A browser's own list of decimals is not ISO 4217's.

/**
 * A function that formats amounts in minor units of a currency.
 * @param {string} locale
 * @param {{[name: string]: string | undefined}} form with `currency`, `decimals` (those of ISO
 *   4217) and `usualDecimals` (those of a whole amount), as in a data set
 * @returns {(amount: number) => string}
 */
export function moneyFormatter(locale, { currency, decimals, usualDecimals }) {
  const format = (/** @type {number} */ digits) => new Intl.NumberFormat(locale, {
    style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
  const [exact, whole] = [format(Number(decimals)), format(Number(usualDecimals))];
  const minorUnits = 10 ** Number(decimals);
  return (amount) => (amount % minorUnits ? exact : whole).format(amount / minorUnits);
}
