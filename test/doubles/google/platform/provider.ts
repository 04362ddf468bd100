import type { Kind, Properties, State } from '../kind.ts';
import { openGcpProvider } from '../provider.ts';
import { problemsDescribed } from './described.ts';
import { KINDS } from './kinds.ts';
import { kindOf, type Made, type PlatformProject, Refused } from './project.ts';

export type ServedGoogle = AsyncDisposable & {
  /** `PULUMI_DEBUG_PROVIDERS`. */
  readonly attach: string;
  /** What was asked that the double does not know, or with inputs that Google's own provider would refuse. */
  readonly unknown: readonly string[];
};

/** The provider `gcp` over one project, for the real engine to attach to. */
export async function serveGoogle(project: PlatformProject): Promise<ServedGoogle> {
  const unknown: string[] = [];
  const kinds = Object.fromEntries(Object.keys(KINDS).map((type) => [type, kindIn(project, { type, unknown })]));
  const invokes = {
    'gcp:organizations/getProject:getProject': ({ projectId }: Properties): State => {
      if (projectId !== project.project) throw new Refused(`Error 404: project ${String(projectId)} not found`);
      return { id: projectId, projectId, number: project.number };
    },
  };
  const provider = await openGcpProvider({ project: project.project, unknown }, { kinds, invokes });
  return { attach: provider.attach, unknown, [Symbol.asyncDispose]: () => provider[Symbol.asyncDispose]() };
}

/** What throws and is no refusal of Google's is what the double does not know. */
function kindIn(project: PlatformProject, { type, unknown }: { readonly type: string; readonly unknown: string[] }): Kind {
  const told = async <T>(deed: () => T): Promise<T> => {
    try {
      return deed();
    } catch (error) {
      if (!(error instanceof Refused)) unknown.push(String(error));
      throw error;
    }
  };
  const stateOf = ({ id, outputs }: Made): { id: string; state: State } => ({ id, state: outputs });
  return {
    check: (inputs) => [...project.check(type, inputs), ...problemsDescribed(type, inputs)].map((reason) => ({ path: '', reason })),
    isReplacing: (input) => kindOf(type).replacedBy.includes(input),
    async create(inputs) {
      const made = await told(() => stateOf(project.create(type, inputs)));
      await project.onMade(type);
      return made;
    },
    read: (id) => told(() => project.read(type, id)?.outputs),
    update: (id, inputs) => told(() => project.update(type, id, inputs).outputs),
    remove: (id, state) => told(() => project.remove(type, id, state)),
  };
}
