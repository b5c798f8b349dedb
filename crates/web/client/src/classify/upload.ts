// Ways in for files: buttons, drop (folders too), paste.
import { find } from "../ui/dom";
import { many } from "../ui/format";
import { toast } from "../ui/toast";

export interface Upload {
  name: string;
  file: File;
}

export function wireUpload(take: (uploads: Upload[]) => void): void {
  for (const [button, input] of [["#choose", "#files"], ["#choose-folder", "#folder"]] as const) {
    const field = find<HTMLInputElement>(input);
    find(button).addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      const uploads = named([...(field.files ?? [])]);
      take(input === "#folder" ? recordings(uploads) : uploads);
      field.value = "";
    });
  }
  // The whole zone looks as if it could be pressed.
  find("#drop").addEventListener("click", (event) => {
    if (!(event.target as Element).closest("button, input")) find<HTMLInputElement>("#files").click();
  });
  wireDrop(take);
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    take(named(files));
  });
}

/** The whole page takes what is dropped; the zone only shows it. */
function wireDrop(take: (uploads: Upload[]) => void): void {
  const zone = find("#drop");
  let depth = 0;
  const holdsFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  const over = (change: number): void => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle("over", depth > 0);
    document.body.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    over(1);
  });
  document.addEventListener("dragleave", (event) => holdsFiles(event) && over(-1));
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    over(-depth);
    void dropped(event.dataTransfer).then(take);
  });
}

async function dropped(transfer: DataTransfer | null): Promise<Upload[]> {
  // Entries must be asked for before the first await, while the event lives.
  const entries = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...(transfer?.files ?? [])];
  if (entries.every((entry) => entry === null)) return named(files);
  const [alone, inside]: [Upload[], Upload[]] = [[], []];
  for (const entry of entries) if (entry) await walk(entry, entry.isFile ? alone : inside);
  const visible = (uploads: Upload[]): Upload[] => uploads.filter(({ name }) => !isHidden(name));
  const taken = [...visible(alone), ...(entries.every((entry) => entry?.isFile) ? [] : recordings(visible(inside)))];
  return taken.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
}

/** What lies beside recordings in a folder and surely is none, by the type that its ending stands for. */
const NO_SOUND = /^(text|image|font)\/|^application\/(pdf|json|xml|zip|x-zip|msword|rtf|javascript|vnd\.)/;

/** The recordings of a folder; what else was in it is told, not sent. */
function recordings(uploads: Upload[]): Upload[] {
  const found = uploads.filter(({ file }) => !NO_SOUND.test(file.type));
  const others = uploads.length - found.length;
  if (found.length === 0) toast("There are no recordings in this folder.");
  else if (others > 0) toast(`${many(others, "file")} of the folder ${others === 1 ? "is no recording and was" : "are no recordings and were"} left out.`);
  return found;
}

async function walk(entry: FileSystemEntry, found: Upload[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File | undefined>((resolve) => (entry as FileSystemFileEntry).file(resolve, () => resolve(undefined)));
    if (file) found.push({ name: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A reader gives a hundred entries at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) return;
    for (const inner of some) await walk(inner, found);
  }
}

function named(files: File[]): Upload[] {
  return files.map((file) => ({ name: file.webkitRelativePath || file.name, file })).filter(({ name }) => !isHidden(name));
}

/** What systems put into folders without being asked, such as `.DS_Store`. */
function isHidden(path: string): boolean {
  return /(^|\/)(\.|Thumbs\.db$|desktop\.ini$)/.test(path);
}
