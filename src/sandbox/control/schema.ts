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
  'POST /properties/:object/recalculate': {
    about: 'Gives a property other values without moving modified dates: {name, ids?, lag?}; without ids for all records.',
    needs: ['name'],
    run: (store, object, { name, ...options }) => store.recalculate(object, String(name), options),
  },
  'POST /objects': {
    about: 'Adds a custom object: {name, labels?, typeNumber?, properties?, primaryDisplayProperty?}; answers {objectTypeId}.',
    needs: ['name'],
    run: (store, _, body) => ({ objectTypeId: store.addObject(body as unknown as ObjectInput) }),
  },
  'POST /objects/:object/archive': { about: 'Archives a custom object.', run: (store, object) => store.archiveObject(object) },
  'POST /objects/:object/restore': { about: 'Restores a custom object, with its records.', run: (store, object) => store.restoreObject(object) },
  'DELETE /objects/:object': { about: 'Deletes an archived custom object for good; another may have its name then.', run: (store, object) => store.removeObject(object) },
  'PUT /pipelines/:object': {
    about: 'Replaces the pipelines: {pipelines: [{id, label?, stages: [{id, label?, metadata?}]}]}.',
    needs: ['pipelines'],
    run: (store, object, { pipelines }) => store.setPipelines(object, pipelines as PipelineInput[]),
  },
  'PATCH /pipelines/:object': {
    about: 'Changes, archives or restores a pipeline: {id, label?, displayOrder?, archived?}.',
    needs: ['id'],
    run: (store, object, { id, ...changes }) => store.changePipeline(object, String(id), changes),
  },
  'PATCH /stages/:object': {
    about: 'Changes, archives or restores a stage: {pipeline, id, label?, displayOrder?, metadata?, archived?}.',
    needs: ['pipeline', 'id'],
    run: (store, object, { pipeline, id, ...changes }) => store.changeStage(object, String(pipeline), String(id), changes),
  },
  'POST /owners': {
    about: 'Adds an owner: {email, id?, firstName?, lastName?, type?}; answers {id}.',
    needs: ['email'],
    run: (store, _, body) => ({ id: store.addOwner(body as unknown as OwnerInput) }),
  },
  'PATCH /owners': {
    about: 'Changes an owner: {id, email?, firstName?, lastName?, type?}.',
    needs: ['id'],
    run: (store, _, { id, ...changes }) => store.changeOwner(id as RecordId, changes),
  },
  'DELETE /owners': { about: 'Removes an owner without a trace: {id}.', needs: ['id'], run: (store, _, { id }) => store.removeOwner(id as RecordId) },
  'POST /owners/restore': { about: 'Restores an archived owner: {id}.', needs: ['id'], run: (store, _, { id }) => store.restoreOwner(id as RecordId) },
  'POST /owners/archive': { about: 'Archives an owner: {id}.', needs: ['id'], run: (store, _, { id }) => store.archiveOwner(id as RecordId) },
}
