// Amounts as the server writes them: a browser's own list of decimals is not ISO 4217's.

// The writer of amounts in minor units of `currency`. `decimals` are ISO 4217's; `usualDecimals`
// are those of a whole amount. Both may be texts, as in a data set.
export function moneyWriter(locale, { currency, decimals, usualDecimals }) {
  const writer = (digits) => new Intl.NumberFormat(locale, {
    style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits,
  });
  const [exact, whole] = [writer(Number(decimals)), writer(Number(usualDecimals))];
  const minorUnits = 10 ** Number(decimals);
  return (amount) => (amount % minorUnits ? exact : whole).format(amount / minorUnits);
}
