// What an owner made for a site and the Overview shows: segments and notes.
import { api, type Annotation, type Segment } from "./api/client.ts";
import { Resource } from "./resource.svelte.ts";

export class Owned {
  #site: string;
  #segments = new Resource<Segment[]>();
  #notes = new Resource<Annotation[]>();

  constructor(site: string) {
    this.#site = site;
  }

  async load(): Promise<void> {
    await Promise.all([this.loadSegments(), this.loadNotes()]);
  }

  loadSegments(): Promise<void> {
    const ask = async (signal: AbortSignal) => (await api.segments(this.#site, signal)).items;
    return this.#segments.load(ask, true);
  }

  loadNotes(): Promise<void> {
    const ask = async (signal: AbortSignal) => (await api.annotations(this.#site, signal)).items;
    return this.#notes.load(ask, true);
  }

  get segments(): Segment[] {
    return this.#segments.value ?? [];
  }

  get notes(): Annotation[] {
    return this.#notes.value ?? [];
  }
}
