// What an owner made for a site and the Overview shows: goals with what they brought, segments, notes.
import {
  api,
  type Annotation,
  type Answer,
  type Goal,
  type Query,
  type Segment,
} from "./api/client.ts";
import { type Objectives, objectivesOf } from "./questions.ts";
import { Resource } from "./resource.svelte.ts";
import type { GoalMetric } from "./view.ts";

/** Questions about goals; nothing: the site has no goal for it. */
export type GoalQuestions = Record<GoalMetric | "earned", Query | undefined>;

export class Owned {
  #site: { id: string; currency: string };
  #goals = $state.raw<Goal[]>([]);
  #segments = new Resource<Segment[]>();
  #notes = new Resource<Annotation[]>();
  readonly conversions = new Resource<Answer>();
  readonly revenue = new Resource<Answer>();
  /** Revenue by interval. */
  readonly earned = new Resource<Answer>();

  constructor(site: { id: string; currency: string }) {
    this.#site = site;
  }

  /** Asks for everything but what goals brought; without goals the Overview has fewer cards. */
  async load(): Promise<void> {
    const goals = async () => {
      this.#goals = (await api.goals(this.#site.id)).items;
    };
    await Promise.allSettled([goals(), this.loadSegments(), this.loadNotes()]);
  }

  loadSegments(): Promise<void> {
    const ask = async (signal: AbortSignal) => (await api.segments(this.#site.id, signal)).items;
    return this.#segments.load(ask, true);
  }

  loadNotes(): Promise<void> {
    const ask = async (signal: AbortSignal) => (await api.annotations(this.#site.id, signal)).items;
    return this.#notes.load(ask, true);
  }

  get segments(): Segment[] {
    return this.#segments.value ?? [];
  }

  get notes(): Annotation[] {
    return this.#notes.value ?? [];
  }

  get objectives(): Objectives | undefined {
    return this.#goals.length > 0 ? objectivesOf(this.#goals, this.#site.currency) : undefined;
  }

  /** Asks what goals brought. */
  async reach(questions: GoalQuestions, quiet: boolean): Promise<void> {
    const ask = (resource: Resource<Answer>, question: Query | undefined) => {
      if (question) return resource.load((signal) => api.query(question, signal), quiet);
      resource.clear();
      return Promise.resolve();
    };
    await Promise.all([
      ask(this.conversions, questions.conversions),
      ask(this.revenue, questions.revenue),
      ask(this.earned, questions.earned),
    ]);
  }
}
