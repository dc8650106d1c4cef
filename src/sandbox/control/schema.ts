import type { ObjectInput, OwnerInput, PipelineInput, PropertyInput, RecordId } from '../types.ts'
import type { ControlRoutes } from './route.ts'

/** Properties, objects, pipelines and owners. */
export const schemaRoutes: ControlRoutes = {
  'POST /properties/:object': {
    about: 'Adds a property: {name, type?, options?, filled?, …}.',
    needs: ['name'],
    run: (store, object, body) => store.addProperty(object, body as unknown as PropertyInput),
  },
  'PATCH /properties/:object': {
    about: 'Changes a property: {name, type?, label?, options?, unreadable?, …}.',
    needs: ['name'],
    run: (store, object, { name, ...changes }) => store.changeProperty(object, String(name), changes),
  },
  'POST /properties/:object/archive': {
    about: 'Archives a property: {name}.',
    needs: ['name'],
    run: (store, object, { name }) => store.archiveProperty(object, String(name)),
  },
  'POST /properties/:object/restore': {
    about: 'Restores an archived property, with its values: {name}.',
    needs: ['name'],
    run: (store, object, { name }) => store.restoreProperty(object, String(name)),
  },
  'POST /objects': {
    about: 'Adds a custom object: {name, labels?, typeNumber?, properties?, primaryDisplayProperty?}; answers {objectTypeId}.',
    needs: ['name'],
    run: (store, _, body) => ({ objectTypeId: store.addObject(body as unknown as ObjectInput) }),
  },
  'PUT /pipelines/:object': {
    about: 'Replaces the pipelines: {pipelines: [{id, label?, stages: [{id, label?, metadata?}]}]}.',
    needs: ['pipelines'],
    run: (store, object, { pipelines }) => store.setPipelines(object, pipelines as PipelineInput[]),
  },
  'POST /owners': {
    about: 'Adds an owner: {email, id?, firstName?, lastName?, type?}; answers {id}.',
    needs: ['email'],
    run: (store, _, body) => ({ id: store.addOwner(body as unknown as OwnerInput) }),
  },
  'POST /owners/archive': { about: 'Archives an owner: {id}.', needs: ['id'], run: (store, _, { id }) => store.archiveOwner(id as RecordId) },
}
