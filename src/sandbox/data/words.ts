/** Words that generated values are put together from; many scripts, on purpose. */
export const firstNames = words(`
  Ada Grace Linus Björn Zoë José Łukasz Ngọc Siobhán Øyvind Çağla Renée Ibrahim Mei Yūki Anaïs Olumide Priya Mateo Ingrid
  Søren Fatima Dmitri Αθηνά Мария Аня محمد 李娜 山田 지민 अदिति Jean-Luc Mary-Ann D'Arcy Noor Tomáš Ülkü Chloé Íñigo Wei`)
export const lastNames = words(`
  Lovelace Hopper Torvalds Ångström Müller García Kowalczyk Nguyễn O'Brien Sørensen Yılmaz Lefèvre Okafor Zhang Tanaka
  Silva Łoś Kaur Papadopoulos Иванова Соколов الفاسي 王 鈴木 김 शर्मा van-der-Berg de-la-Cruz Smith Jones Brown Ek Ó-Súilleabháin Horváth`)
export const companyWords = words(`
  Acme Nordlicht Étoile Sakura Kraków Andes Fjord Quantum Blue-Harbor Sönmez Lumen Orbit Meridian Panther Cobalt Ωmega Delta
  Harvest Pine Granite Zephyr Atlas Nimbus Copper Willow`)
export const companyEnds = ['GmbH', 'Ltd.', 'Inc.', 'S.A.', '& Sons', 'AB', '株式会社', 'LLC', 'B.V.', 'Oy', '"The Works"', 'sp. z o.o.']
export const cities = ['Berlin', 'São Paulo', 'Zürich', 'Dublin', 'Cambridge', '東京', 'Kraków', 'Montréal', 'Malmö', 'Reykjavík', 'Αθήνα', 'Boston', 'Nairobi', 'Hà Nội', 'München', 'القاهرة']
export const countries = ['Germany', 'Brazil', 'Switzerland', 'Ireland', 'United States', 'Japan', 'Poland', 'Canada', 'Sweden', 'Iceland', 'Greece', "Côte d'Ivoire", 'Viet Nam', 'Türkiye']
export const streets = ['Main St', 'Rue de l’Église', 'Königsallee', 'Calle Mayor', 'Storgatan', 'Elm Avenue', '大通り', 'ul. Długa']
export const jobs = ['CEO', 'Head of Sales', 'Ingénieure', 'Product Manager', 'Geschäftsführer', 'R&D', 'Buyer, EMEA', 'VP "Growth"', 'エンジニア', 'Student']
export const domains = ['example.com', 'example.org', 'mail.example.net', 'müller.example', 'shop.example.co.uk', 'example.de']
export const loose = words(`
  the a renewal invoice was sent on Monday and they asked for a call about pricing before Q3 – budget approved ✅ naïve façade
  résumé 🚀 follow-up next week; "quoted" text, C:\\temp 50% off & more <b>bold</b> {braces} it's 注文 は 明日 до завтра مرحبا 👩‍👩‍👧‍👦 tab\there`)
export const things = ['Annual licence', 'Pro plan – 12 months', 'Onboarding', 'Support (24/7)', 'Café set ☕', '½" adapter', 'Consulting day', 'Größe XL', 'Add-on: API', 'Spare part #7']

function words(text: string): string[] {
  return text.trim().split(/[ \n]+/)
}
