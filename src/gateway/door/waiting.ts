/** Those who are not let in yet, by the address that they come from. Where there are too many, some make room. */
export class Waiting<Guest> {
  /** In the order in which they came. */
  readonly #guests = new Map<Guest, string>()

  get size(): number {
    return this.#guests.size
  }

  add(guest: Guest, address: string): void {
    this.#guests.set(guest, address)
  }

  delete(guest: Guest): void {
    this.#guests.delete(guest)
  }

  /**
   * Takes off who is to go first: whoever waits longest of the address that most come from. Whoever means to sign on does so
   * within moments; whoever fills the house does not.
   */
  takeOldest(): Guest | undefined {
    const counts = new Map<string, number>()
    for (const address of this.#guests.values()) counts.set(address, (counts.get(address) ?? 0) + 1)
    const [busiest] = [...counts].toSorted(([, one], [, other]) => other - one)[0] ?? []
    const [oldest] = [...this.#guests].find(([, address]) => address === busiest) ?? []
    if (oldest !== undefined) this.#guests.delete(oldest)
    return oldest
  }
}
