/** Longer texts are not searched for words; characters, all in all. */
const LONGEST_SEARCHED = 1_000_000
const WORD = /[\w$\u0080-\uffff]+/g

/** The words of texts, once somebody asks for them. */
export class Words {
  readonly #texts = new Set<string>()
  #unsearched: string[] = []
  #length = 0
  #isOpaque = false
  readonly #words = new Set<string>()

  add(text: string): void {
    if (this.#isOpaque || this.#texts.has(text)) return
    this.#length += text.length
    this.#texts.add(text)
    this.#unsearched.push(text)
    this.#isOpaque = this.#length > LONGEST_SEARCHED
  }

  /** Names that are anywhere in the texts, or may be: there may be one that is written by numbers, and texts may be too long to be searched. */
  among(names: readonly string[]): readonly string[] {
    if (names.length > 0 && !this.#isOpaque) this.#search()
    return this.#isOpaque ? names : names.filter((name) => (name.match(WORD) ?? []).every((word) => this.#words.has(word)))
  }

  #search(): void {
    for (const text of this.#unsearched) {
      this.#isOpaque ||= /u&"/i.test(text)
      for (const [word] of text.toLowerCase().matchAll(WORD)) this.#words.add(word)
    }
    this.#unsearched = []
  }
}
