/** RFC 9457: what an HTTP request of the control plane is refused with. `code` is stable, the rest is for people. */
export const HTTP_PROBLEMS = {
  'not-found': { status: 404, title: 'There is nothing at this address.' },
  'method-not-allowed': { status: 405, title: 'This address does not take that method.' },
  'body-too-large': { status: 413, title: 'The body is larger than is taken here.' },
  'body-too-slow': { status: 408, title: 'The body did not arrive in time.' },
  'encoding-unsupported': { status: 415, title: 'The body must not be compressed.' },
  'signature-invalid': { status: 401, title: 'The signature does not fit.' },
  'delivery-missing': { status: 400, title: 'The delivery has no id.' },
  'not-json': { status: 400, title: 'The body is not JSON.' },
  'payload-unreadable': { status: 400, title: 'The payload does not have the shape of its event.' },
  unavailable: { status: 503, title: 'Mayfly cannot store anything at the moment. Try again.' },
  unauthorized: { status: 401, title: 'A valid bearer token is needed.' },
  'query-invalid': { status: 400, title: 'The query is not valid.' },
  'duration-invalid': { status: 400, title: 'Say for how long, for example {"for":"2d"} (90s, 15m, 36h, 3d, 2w).' },
  'site-unknown': { status: 404, title: 'There is no such site.' },
  'site-over': { status: 409, title: 'The site has ended.' },
  'limit-reached': { status: 409, title: 'The site already stands for as long as it may.' },
  unexpected: { status: 500, title: 'Something went wrong inside Mayfly.' },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>;

export type HttpProblem = keyof typeof HTTP_PROBLEMS;
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** The problem document as JSON text. */
export function problemBody(code: HttpProblem, detail?: string): string {
  const { status, title } = HTTP_PROBLEMS[code];
  return JSON.stringify({ type: 'about:blank', title, status, code, ...(detail === undefined ? {} : { detail }) });
}
