import type { LogEntry } from './cloud.ts';
import type { Read } from './filter.ts';

const text = (of: (entry: LogEntry) => string | undefined): Read<LogEntry> => ({
  of: (entry) => [of(entry)].flatMap((one) => one ?? []),
  as: 'text',
});

/** Fields of log entries, as far as anybody here asks for them. */
export function logField(field: string): Read<LogEntry> | undefined {
  const [, kind, name = ''] = /^(resource\.labels|labels|jsonPayload)\.(.+)$/.exec(field) ?? [];
  if (kind === 'resource.labels') return text(({ resource }) => resource.labels[name]);
  if (kind === 'labels') return text(({ labels }) => labels[name]);
  if (kind === 'jsonPayload') return text(({ jsonPayload }) => (jsonPayload?.[name] === undefined ? undefined : String(jsonPayload[name])));
  if (field === 'timestamp') return { of: ({ timestamp }) => [timestamp], as: 'time' };
  if (field === 'severity') return { of: ({ severity }) => [severity], as: 'severity' };
  if (field === 'resource.type') return text(({ resource }) => resource.type);
  if (field === 'logName') return text(({ logName }) => logName);
  if (field === 'insertId') return text(({ insertId }) => insertId);
  return field === 'textPayload' ? text(({ textPayload }) => textPayload) : undefined;
}
