import type { OwnerInput, PipelineInput } from '../types.ts'

/** A pipeline as HubSpot shows it; `createdAt` 0 marks those that came with the account. */
export interface Pipeline {
  readonly id: string
  readonly label: string
  readonly displayOrder: number
  readonly createdAt: number
  readonly updatedAt: number
  /** Archived ones are shown nowhere. */
  readonly archived: boolean
  readonly stages: readonly PipelineStage[]
}

/** A stage; the values of its metadata are text. */
export interface PipelineStage {
  readonly id: string
  readonly label: string
  readonly displayOrder: number
  readonly metadata: Readonly<Record<string, string>>
  readonly archived: boolean
}

/** An owner. */
export interface Owner {
  readonly id: string
  readonly email: string
  readonly firstName: string
  readonly lastName: string
  readonly type: 'PERSON' | 'QUEUE'
  readonly userId: number
  readonly createdAt: number
  readonly updatedAt: number
  readonly archived: boolean
  readonly teams: readonly { readonly id: string; readonly name: string; readonly primary: boolean }[]
}

const deal = (id: string, label: string, probability: string, isClosed = 'false') =>
  ({ id, label, metadata: { isClosed, probability } })
const ticket = (id: string, label: string, ticketState: string) =>
  ({ id, label, metadata: { ticketState, isClosed: String(ticketState === 'CLOSED') } })
const staged = (prefix: string) => [{
  id: `${prefix}-pipeline`,
  label: 'Pipeline',
  stages: ['new', 'open', 'done'].map((stage) => ({ id: `${prefix}-${stage}`, label: stage, metadata: { isClosed: String(stage === 'done') } })),
}]

const pipelines: Readonly<Record<string, readonly PipelineInput[]>> = {
  deals: [
    {
      id: 'default',
      label: 'Sales Pipeline',
      stages: [
        deal('appointmentscheduled', 'Appointment Scheduled', '0.2'),
        deal('qualifiedtobuy', 'Qualified To Buy', '0.4'),
        deal('presentationscheduled', 'Presentation Scheduled', '0.6'),
        deal('decisionmakerboughtin', 'Decision Maker Bought-In', '0.8'),
        deal('contractsent', 'Contract Sent', '0.9'),
        deal('closedwon', 'Closed Won', '1.0', 'true'),
        deal('closedlost', 'Closed Lost', '0.0', 'true'),
      ],
    },
    {
      id: '72411803',
      label: 'Renouvellements – EMEA',
      stages: [
        deal('140988221', 'À contacter', '0.5'),
        deal('140988222', 'Offer sent', '0.7'),
        deal('140988223', 'Renewed 🎉', '1.0', 'true'),
        deal('140988224', 'Churned', '0.0', 'true'),
      ],
    },
  ],
  tickets: [{
    id: '0',
    label: 'Support Pipeline',
    stages: [ticket('1', 'New', 'OPEN'), ticket('2', 'Waiting on contact', 'OPEN'), ticket('3', 'Waiting on us', 'OPEN'), ticket('4', 'Closed', 'CLOSED')],
  }],
}

/** The pipelines an account has for an object from the start. */
export function defaultPipelines(object: string): Pipeline[] {
  const stagedObjects = ['leads', 'orders', 'services', 'courses', 'listings', 'appointments', 'projects']
  const input = pipelines[object] ?? (stagedObjects.includes(object) ? staged(object) : [])
  return createPipelines(input, 0)
}

/** Completes pipelines that someone gave. */
export function createPipelines(input: readonly PipelineInput[], at: number): Pipeline[] {
  return input.map((pipeline, displayOrder) => ({
    id: pipeline.id,
    label: pipeline.label ?? pipeline.id,
    displayOrder,
    createdAt: at,
    updatedAt: at,
    archived: false,
    stages: pipeline.stages.map((stage, order) => ({
      id: stage.id,
      label: stage.label ?? stage.id,
      displayOrder: order,
      metadata: stage.metadata ?? { isClosed: 'false' },
      archived: false,
    })),
  }))
}

const people = [
  'Ada Lovelace', 'Björn Ångström', 'Chloé Lefèvre', 'Dmitri Соколов', 'Esra Yılmaz', 'Fatima الفاسي', 'Grace Hopper',
  'Hiroshi 鈴木', 'Ingrid Sørensen', 'José García', 'Katarzyna Łoś', 'Support Queue',
]

/** The owners an account has from the start: ten people, of whom two have left, and a queue. */
export function defaultOwners(at: number): Owner[] {
  return people.map((name, place) => {
    const [firstName = '', lastName = ''] = name.split(' ')
    const queue = place === people.length - 1
    const owner = createOwner({ email: `owner${place}@example.com`, firstName, lastName, type: queue ? 'QUEUE' : 'PERSON' }, 41_629_779 + place * 7, at)
    return { ...owner, archived: place === 3 || place === 8, teams: place % 3 === 0 ? [{ id: '4001', name: 'Sales DACH', primary: true }] : [] }
  })
}

/** What is shown of pipelines or stages, in their order. */
export function shown<T extends Pick<PipelineStage, 'archived' | 'displayOrder'>>(items: readonly T[]): T[] {
  return items.filter(({ archived }) => !archived).sort((a, b) => a.displayOrder - b.displayOrder)
}

/** Completes an owner that someone gave. */
export function createOwner(input: OwnerInput, id: number, at: number): Owner {
  return {
    id: String(input.id ?? id),
    email: input.email,
    firstName: input.firstName ?? '',
    lastName: input.lastName ?? '',
    type: input.type ?? 'PERSON',
    userId: 9_000_000 + (id % 1_000_000),
    createdAt: at,
    updatedAt: at,
    archived: false,
    teams: [],
  }
}
