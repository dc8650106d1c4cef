import type { AssociationTypeName, EdgeInput, RecordId } from '../types.ts'
import type { Body, ControlRoutes } from './route.ts'

/** Associations and their labels. */
export const associationRoutes: ControlRoutes = {
  'GET /labels/:object': {
    about: 'The association types from the object to ?to=.',
    run: (store, from, _, query) => ({ types: store.associationTypes(from, query.get('to') ?? '') }),
  },
  'POST /labels/:object': {
    about: 'Adds a label: {to, label, inverseLabel?, category?, typeId?, inverseTypeId?}; answers {typeId, inverseTypeId}.',
    needs: ['to', 'label'],
    run: (store, from, { to, ...label }) => store.defineLabel(from, String(to), label),
  },
  'PATCH /labels/:object': {
    about: 'Renames a label: {to, type, label}.',
    needs: ['to', 'type', 'label'],
    run: (store, from, { to, type, label }) => store.changeLabel(from, String(to), type as AssociationTypeName, String(label)),
  },
  'DELETE /labels/:object': {
    about: 'Removes a label, from all associations too: {to, type}.',
    needs: ['to', 'type'],
    run: (store, from, { to, type }) => store.removeLabel(from, String(to), type as AssociationTypeName),
  },
  'POST /associations/:object': {
    about: 'Associates records, or adds labels: {to, edges: [{fromId, toId, types?}]}.',
    needs: ['to', 'edges'],
    run: (store, from, { to, edges }) => store.associateAll(from, String(to), edges as EdgeInput[]),
  },
  'DELETE /associations/:object': {
    about: 'Ends associations, or takes away the labels in types: {to, edges: [{fromId, toId, types?}]}.',
    needs: ['to', 'edges'],
    run: (store, from, { to, edges }) => store.dissociateAll(from, String(to), edges as EdgeInput[]),
  },
  'GET /associations/:object': {
    about: 'All associations that live records show to ?to= (?fromId=: of one record), a type of each a line of JSON.',
    run: (store, from, _: Body, query) => {
      const fromId = query.get('fromId') as RecordId | null
      return store.edges(from, query.get('to') ?? '', fromId === null ? {} : { fromId })
    },
  },
}
