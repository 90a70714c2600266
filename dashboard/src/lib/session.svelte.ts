// Who is signed in, and the sites they may see.
import { api, type Session, type Site } from "./api/client.ts";

class Account {
  session = $state.raw<Session | undefined>();
  sites = $state.raw<Site[] | undefined>();

  async load(): Promise<void> {
    this.session = await api.session();
    if (this.session.user) await this.loadSites();
  }

  async loadSites(): Promise<void> {
    this.sites = (await api.sites()).items;
  }

  site(id: string): Site | undefined {
    return this.sites?.find((site) => site.id === id);
  }

  added(site: Site): void {
    this.sites = [...(this.sites ?? []), site];
  }

  changed(site: Site): void {
    this.sites = this.sites?.map((old) => (old.id === site.id ? site : old));
  }

  removed(id: string): void {
    this.sites = this.sites?.filter((site) => site.id !== id);
  }

  async signOut(): Promise<void> {
    await api.signOut();
    this.forget();
  }

  forget(): void {
    if (this.session) this.session = { ...this.session, user: null };
    this.sites = undefined;
  }
}

export const account = new Account();
