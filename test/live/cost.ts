/** Google's list prices in US dollars, europe-west1, May 2026: docs/google-cloud.md has where each of them comes from. */
const PLATFORM_AN_HOUR = 235 / 730;
const BUILD_A_MINUTE = 0.006;
const SITE_AN_HOUR = 0.09;

/** What a run came to, without free tiers: more than Google asks for rather than less. */
export function estimate(ran: { readonly platformMs: number; readonly builds: number; readonly siteMs: number }): string {
  const hours = (ms: number): number => ms / 3_600_000;
  // A build of nothing to install takes about two minutes.
  const dollars = hours(ran.platformMs) * PLATFORM_AN_HOUR + ran.builds * 2 * BUILD_A_MINUTE + hours(ran.siteMs) * SITE_AN_HOUR;
  return `about $${dollars.toFixed(2)}`;
}
