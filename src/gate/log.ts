/** As much of the structured log as the gate uses; pino's fits. */
export interface Log {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
